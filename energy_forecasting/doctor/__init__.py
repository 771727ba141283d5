"""``python -m energy_forecasting doctor``: from an address to a configuration that can train.

It asks and never writes: no reading, no file. Asking (``reaching``, ``server``, ``access``,
``sight``, ``meters``, ``samples``) is apart from judging what came back (``layout_findings``,
``guess``), and both from showing it (``screen``).
"""
