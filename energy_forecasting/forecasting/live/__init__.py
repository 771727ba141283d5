"""What the readings since a training teach about its model, without training again."""
