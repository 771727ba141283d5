"""Starts Redis, worker and API together for people: ``make run`` and ``make demo``.

It is no init system: it serves one machine, listens on the loopback address only and stops
when its terminal does. In production a service manager runs the same programs, the doors.
"""
