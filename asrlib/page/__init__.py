"""The page of an experiment: one HTML file that needs no network, made of the experiment's own files."""
