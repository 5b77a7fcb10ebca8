"""The operations `describe` and `verify`, offline or by a vision model behind an endpoint; a plug-in like any other."""
