"""The data report: what a meter's history holds, what is odd about it, what training repairs."""
