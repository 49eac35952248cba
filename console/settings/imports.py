"""Settings of what comes in from outside: dataset and model imports."""

from console.settings import env

IMPORT_HUBS = tuple(
    url.rstrip("/")
    for url in env.read_list(
        "SLIPWAY_IMPORT_HUBS",
        "",
        "Addresses of hubs that models may be imported from: https://huggingface.co,…",
    )
)
IMPORT_MODEL_MIB = env.read_int(
    "SLIPWAY_IMPORT_MODEL_MIB", 262_144, "Most bytes of one imported model version", least=1
)
IMPORT_MODEL_FILES = env.read_int(
    "SLIPWAY_IMPORT_MODEL_FILES", 1000, "Most files of one imported model version", least=1
)
IMPORT_RATIO = env.read_int(
    "SLIPWAY_IMPORT_RATIO", 200, "How many times its size a model archive may unpack to", least=2
)
IMPORT_CONNECTIONS = env.read_int(
    "SLIPWAY_IMPORT_CONNECTIONS", 4, "Files that a model import fetches at once", least=1, most=32
)
