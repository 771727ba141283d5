"""Who may call the API: keys, what they allow, and the file that keeps them."""
