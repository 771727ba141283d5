"""Where histories come from: stores and imports."""
