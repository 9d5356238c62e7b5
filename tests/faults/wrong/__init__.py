"""The service broken on purpose, each module in exactly one way. A check that cannot fail proves
nothing: each of these must be caught by the fault that is there to catch it."""
