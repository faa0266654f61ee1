"""How a call is decided, whoever carries it: routed, made canonical, refused, answered, told."""
