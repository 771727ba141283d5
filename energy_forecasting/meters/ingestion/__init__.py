"""How readings come in: from CSV files of many meters, and from requests about one."""
