"""The pure core: values in, values out. No clock, environment, file, network or SQL."""
