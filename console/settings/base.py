"""Settings that every process shares: database, Redis, Celery, Channels, storage, limits."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from console.settings import cluster, env, imports, storage

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATA_DIR = Path(env.read_str("SLIPWAY_DATA_DIR", str(BASE_DIR / "var"), "Where all data lies"))
SECRET_KEY = env.read_str(
    "SECRET_KEY", None, "Signs sessions; other keys are made of it", secret=True
)
REPLICA_KEY = cluster.replica_key(SECRET_KEY)
CLUSTER_HOST = cluster.CLUSTER_HOST
NODE_SECRET = cluster.NODE_SECRET
STORE_URL = cluster.STORE_URL
CACHE_MIB = cluster.CACHE_MIB
BLOB_URL = storage.BLOB_URL
BLOB_ENDPOINT = storage.BLOB_ENDPOINT
BLOB_REGION = storage.BLOB_REGION
BLOB_KEY_ID = storage.BLOB_KEY_ID
BLOB_SECRET = storage.BLOB_SECRET
VERIFY_DAYS = storage.VERIFY_DAYS
DEBUG = False
HOST = env.read_str("SLIPWAY_HOST", "127.0.0.1", "Address the console listens on")
PORT = env.read_int("SLIPWAY_PORT", 8000, "Port the console listens on", least=1, most=65535)
PUBLIC_URL = env.read_str(
    "SLIPWAY_PUBLIC_URL", f"http://{HOST}:{PORT}", "The address people open, used in links"
).rstrip("/")
_names = ["127.0.0.1", "localhost", "[::1]", urlsplit(PUBLIC_URL).hostname or HOST, CLUSTER_HOST]
ALLOWED_HOSTS = env.read_list(
    "SLIPWAY_ALLOWED_HOSTS", ",".join(dict.fromkeys(_names)), "Host names the console answers to"
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "axes",
    "console.access",
    "models_app.audit",
    "models_app.storage",
    "models_app.pools",
    "models_app.jobs",
    "models_app.datasets",
    "models_app.configs",
    "models_app.registry",
    "models_app.approvals",
    "models_app.deployments",
    "models_app.curation",
    "models_app.finetuning",
    "models_app.sweeps",
    "models_app.routing",
    "models_app.batches",
    "models_app.alerts",
    "workers",
]
AUTH_USER_MODEL = "access.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "console.settings.no_urls"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]


def database(url: str) -> dict[str, Any]:
    """Django's database settings from a `postgresql://` URL."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": DB_POOL_SIZE, "timeout": 15},
            "connect_timeout": 5,
            "options": "-c statement_timeout=60000 -c lock_timeout=10000"
            " -c idle_in_transaction_session_timeout=60000",
        },
    }


DB_POOL_SIZE = env.read_int(
    "SLIPWAY_DB_POOL", 8, "Database connections per process", least=1, most=100
)
DATABASE_URL = env.read_str(
    "DATABASE_URL", None, "postgresql://user:password@host:port/name", secret=True
)
DATABASES = {"default": database(DATABASE_URL)}

REDIS_URL = env.read_str("REDIS_URL", None, "redis://:password@host:port[/base-db]", secret=True)
_redis = urlsplit(REDIS_URL)
REDIS_BASE_DB = int(_redis.path.lstrip("/") or 0)
_redis_root = REDIS_URL[: len(REDIS_URL) - len(_redis.path)] if _redis.path else REDIS_URL


def redis_db(offset: int) -> str:
    """The URL of one of our four Redis databases: 0 broker, 1 channels, 2 results, 3 cache."""
    return f"{_redis_root}/{REDIS_BASE_DB + offset}"


# Pub/sub ignores database numbers, so the prefix keeps two installations on one server apart.
CHANNEL_PREFIX = f"slipway{REDIS_BASE_DB}"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis_db(1)], "prefix": CHANNEL_PREFIX},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_db(3),
        "KEY_PREFIX": CHANNEL_PREFIX,
    }
}

# A Celery message is only a wake-up; the row of the job is the truth. See docs/architecture.md.
CELERY_BROKER_URL = redis_db(0)
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
# A submit must not hang when Redis is down: the sweeper sends again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0}

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "console.access.backends.RoleBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = env.read_int(
    "SLIPWAY_LOGIN_FAILURES", 8, "Wrong passwords before an account is locked for a while", least=1
)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False
# Behind a proxy the address comes from X-Forwarded-For, but only as many hops as are named here.
PROXY_COUNT = env.read_int(
    "SLIPWAY_PROXY_COUNT", 0, "Reverse proxies in front of the console", most=5
)
AXES_IPWARE_PROXY_COUNT = PROXY_COUNT or None

# Jobs. Only the clock of the database decides about leases.
JOB_LEASE_S = env.read_int(
    "SLIPWAY_JOB_LEASE_S", 30, "Seconds until a silent job is taken away", least=3
)
JOB_HEARTBEAT_S = env.read_int(
    "SLIPWAY_JOB_HEARTBEAT_S", 2, "Seconds between signs of life", least=1
)
JOB_GRACE_S = env.read_int(
    "SLIPWAY_JOB_GRACE_S", 20, "Seconds a job may take to stop politely", least=1
)
ISOLATION = env.read_str(
    "SLIPWAY_ISOLATION", "auto", "How jobs are fenced in: auto, cgroup2, cgroup1 or polling"
)
CGROUP = env.read_str(
    "SLIPWAY_CGROUP", "", "Folder of a control group (version 2) set aside for this worker's jobs"
)
JOB_MEMORY_MIB = env.read_int(
    "SLIPWAY_JOB_MEMORY_MIB", 0, "Memory of a job that asks for none in MiB; 0: what the node has"
)
JOB_DISK_MIB = env.read_int(
    "SLIPWAY_JOB_DISK_MIB", 0, "Disk of a job that asks for none in MiB; 0: no limit"
)
JOB_PIDS = env.read_int(
    "SLIPWAY_JOB_PIDS", 512, "Processes and threads of a job, besides four for each CPU", least=16
)
SCRATCH_DIR = Path(
    env.read_str(
        "SLIPWAY_SCRATCH_DIR",
        str(DATA_DIR / "scratch"),
        "Directory on the node for temporary files of jobs",
    )
)
LOG_KEEP_DAYS = env.read_int(
    "SLIPWAY_LOG_KEEP_DAYS", 180, "Days that lines of job logs are kept; 0: for ever"
)
LOG_MAX_MIB = env.read_int(
    "SLIPWAY_LOG_MAX_MIB", 4096, "Most MiB of text kept for one job's log; 0: no limit"
)
REQUEST_KEEP_DAYS = env.read_int(
    "SLIPWAY_REQUEST_KEEP_DAYS", 30, "Days that records of calls are kept; 0: for ever", most=36500
)
REQUEST_MOST = env.read_int(
    "SLIPWAY_REQUEST_MOST", 10_000_000, "Most records of calls that are kept; 0: no limit"
)
DRILL_DAYS = env.read_int(
    "SLIPWAY_DRILL_DAYS",
    30,
    "Days between reproduction drills of a team that has them; 0: none",
    most=3650,
)
WORKER_SLOTS = env.read_int(
    "SLIPWAY_WORKER_SLOTS", 8, "Jobs a worker runs at once", least=1, most=512
)
WARM_TEMPLATE = env.read_bool(
    "SLIPWAY_WARM_TEMPLATE",
    True,
    "Keep a process with the libraries loaded, from which jobs are forked",
)
MEASURE_SPEED = env.read_bool(
    "SLIPWAY_MEASURE_SPEED", True, "Measure once how fast this node computes, while it is idle"
)
WATTS_PER_CORE = env.read_int(
    "SLIPWAY_WATTS_PER_CORE",
    12,
    "Watts of a busy core of this node, where its processor does not tell",
    most=1000,
)
NODE_NAME = env.read_str("SLIPWAY_NODE", "", "Name of this node; the host name by default")
NODE_LABELS = env.read_pairs(
    "SLIPWAY_NODE_LABELS", "", "Labels of this node, by which pools select it: zone=a,disk=ssd"
)
MASS_LOSS_NODES = env.read_int(
    "SLIPWAY_MASS_LOSS_NODES", 3, "So many nodes silent at once are quarantined", least=2
)
MASS_LOSS_HOLD_S = env.read_int(
    "SLIPWAY_MASS_LOSS_HOLD_S",
    300,
    "Seconds for which jobs of quarantined nodes are held back",
    least=1,
)
REPLICA_HOST = env.read_str(
    "SLIPWAY_REPLICA_HOST", "127.0.0.1", "Address on which model servers of this node listen"
)
# The gateway is on the console's machine; other nodes are not.
NODE_ADDRESS = env.read_str(
    "SLIPWAY_NODE_ADDRESS", "", "Address of this node in the network of those it trains with"
) or (CLUSTER_HOST if REPLICA_HOST == "127.0.0.1" and CLUSTER_HOST else REPLICA_HOST)
IMPORT_DIR = Path(
    env.read_str("SLIPWAY_IMPORT_DIR", str(DATA_DIR / "import"), "Directory that imports may read")
)
UPLOAD_LIMIT_MIB = env.read_int("SLIPWAY_UPLOAD_LIMIT_MIB", 4096, "Largest upload", least=1)
IMPORT_LIMIT_MIB = env.read_int(
    "SLIPWAY_IMPORT_LIMIT_MIB", 65_536, "Most text that one dataset import may unpack to", least=1
)
IMPORT_HUBS = imports.IMPORT_HUBS
IMPORT_MODEL_MIB = imports.IMPORT_MODEL_MIB
IMPORT_MODEL_FILES = imports.IMPORT_MODEL_FILES
IMPORT_RATIO = imports.IMPORT_RATIO
IMPORT_CONNECTIONS = imports.IMPORT_CONNECTIONS
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
# As many as a dataset version takes; Django alone would stop at 100.
DATA_UPLOAD_MAX_NUMBER_FILES = 10_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 << 18
FILE_UPLOAD_TEMP_DIR = None

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "console.access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["console.access.permissions.SignedIn"],
    "DEFAULT_RENDERER_CLASSES": ["models_app.core.renderers.FastJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["models_app.core.parsers.StrictJSONParser"],
    # `format` is a parameter like any other: the lineage gives several.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "console.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Slipway",
    "DESCRIPTION": "Train, version, approve, deploy and watch language models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "OAS_VERSION": "3.1.0",  # JSON Schemas of pydantic are 3.1
    # States of different machines share a field name.
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "models_app.jobs.states.JobState",
        "DatasetVersionStateEnum": "models_app.datasets.states.VersionState",
        "ModelVersionStateEnum": "models_app.registry.states.VersionState",
        "StageEnum": "models_app.registry.states.Stage",
        "StageMoveStateEnum": "models_app.registry.states.MoveState",
        "RevisionStateEnum": "models_app.deployments.states.RevisionState",
        "ReplicaStateEnum": "models_app.deployments.states.ReplicaState",
    },
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}
LOG_LEVEL = env.read_str("SLIPWAY_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"handlers": ["console"], "level": LOG_LEVEL, "propagate": False}
        for name in ("console", "models_app", "workers")
    },
}
