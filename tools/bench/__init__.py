"""The comparison of `make bench`: our worker, a reference transcriber and a bare client, in the same rooms."""
