"""Device code: sweeps that know indices and dtypes, and nothing about optimizers."""
