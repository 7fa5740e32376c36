"""The model vendors: their dialects, their prices and the connection to them."""
