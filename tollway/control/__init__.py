"""The cold verb: what people do. One function is one operation is one transaction."""
