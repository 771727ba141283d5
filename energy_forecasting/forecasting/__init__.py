"""Features, network, training, calibration, baselines: numbers in, numbers out.

Only ``network``, ``training_loop``, ``tuning`` and ``training`` import TensorFlow; forecasting
with a trained model needs NumPy and h5py alone.
"""
