"""Whether a new model may take the champion's place."""
