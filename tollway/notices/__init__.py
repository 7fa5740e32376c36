"""The cold verb: what people are to be told, as mail, handed to the operator's mail server."""
