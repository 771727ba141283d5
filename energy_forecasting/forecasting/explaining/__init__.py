"""What drives a forecast and what a model leans on, in numbers and in sentences."""
