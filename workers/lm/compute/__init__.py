"""What the machine offers a computation: devices, threads, precision, memory, environment."""
