"""The faults, by what is disturbed. Each is a function of the world and of how much of it."""
