"""Compile the kernels beside their source: for images, where no compiler is left later."""

from . import beside_source, build

if __name__ == "__main__":
    build(beside_source())
