"""Who sends a request. Credentials are not verified yet, so names are what clients say (`identity`)."""
