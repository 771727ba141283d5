"""The words of the field, shared by every room: no input or output, no library of a server."""
