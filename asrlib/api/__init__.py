"""What Python programs use: recognisers and upstreams of every kind behind one interface, and models as single files."""
