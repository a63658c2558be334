"""Each engine of the registry as a server that speaks its wire and hears marked words."""
