"""What the core needs from the outside, as interfaces; `app` chooses the implementations."""
