@echo off
rem Starts the API on Windows. Stop it with Ctrl-C.
rem Settings come from the environment or .env: REDIS_URL, DEBUG and those in README.
setlocal
cd /d "%~dp0"
rem Without byte code TensorFlow takes three times as long to import.
set "PYTHONDONTWRITEBYTECODE="

set "PYTHON=%~dp0.venv\Scripts\python.exe"
if exist "%PYTHON%" goto have_python
set "PYTHON=python"
where python >nul 2>nul || goto no_python
"%PYTHON%" -c "import sys; sys.exit(sys.version_info < (3, 11))" || goto no_python
:have_python

"%PYTHON%" -c "import dramatiq, fastapi, redis" >nul 2>nul || goto no_packages

"%PYTHON%" -m energy_forecasting.launcher.redis_check || goto failed

set "RELOAD="
for %%v in (true 1 yes on) do if /i "%DEBUG%"=="%%v" set "RELOAD=--reload --reload-dir energy_forecasting"
if defined RELOAD echo DEBUG is on: debug logs; the API restarts when a source file changes.
echo Starting the API on http://localhost:8000 (documentation: http://localhost:8000/docs)...
"%PYTHON%" -m uvicorn main_dramatiq:app --host 0.0.0.0 --port 8000 --no-server-header %RELOAD% %*
if errorlevel 1 goto failed
exit /b 0

:no_python
echo Python 3.11 or newer was not found. Install it from https://www.python.org/downloads/windows/
echo (tick "Add python.exe to PATH"), then start this file again.
goto failed

:no_packages
echo The packages are not installed. In this folder run:
echo   python energy_forecasting\launcher\environment.py
goto failed

:failed
rem Started by a double click, the window would close before anyone can read it.
echo %CMDCMDLINE% | findstr /i /c:"%~nx0" >nul && pause
exit /b 1
