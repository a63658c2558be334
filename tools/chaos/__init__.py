"""`make chaos`: faults injected into a whole deployment while people talk; what is promised against what was seen."""
