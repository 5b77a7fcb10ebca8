"""What a service of many machines would do: a model of it, made of costs that were measured on a few."""
