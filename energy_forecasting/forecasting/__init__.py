"""Features, network, training, calibration, baselines: numbers in, numbers out.

Only ``network``, ``naive_network``, ``pooled_network``, ``training_loop`` and ``tuning`` import
TensorFlow, and so does what trains with them (``ensemble``, ``network_training``, ``training``,
``warm_up``).
Validating a history and forecasting with a trained model need NumPy alone.
"""
