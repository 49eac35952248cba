"""Settings of the processes that serve pages, sockets and the gateway."""

from csp.constants import NONE, SELF

from console.settings import env
from console.settings.base import *  # noqa: F403
from console.settings.base import BASE_DIR, DATA_DIR, INSTALLED_APPS, PUBLIC_URL

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "csp",
    "drf_spectacular_sidecar",
    "console.pages",
]
ROOT_URLCONF = "console.urls"
MIDDLEWARE = [
    "console.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.access.middleware.PasswordChangeMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "console.middleware.ErrorPageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "console.pages.templatetags.ui",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.pages.context.shell",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Without a collected manifest (development, tests) files are served from where they lie.
if not (STATIC_ROOT / "staticfiles.json").exists():
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True

AXES_USERNAME_CALLABLE = "console.access.lockout.username"
AXES_CLIENT_IP_CALLABLE = "console.middleware.client_ip"
AXES_LOCKOUT_CALLABLE = "console.access.lockout.locked_out"
CSRF_FAILURE_VIEW = "console.pages.errors.csrf_failure"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
SECURE_TLS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_NAME = "__Host-slipway" if SECURE_TLS else "slipway"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_TLS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31536000 if SECURE_TLS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_TLS else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
HTTP_THREADS = env.read_int(
    "SLIPWAY_HTTP_THREADS", 4, "Threads for pages and API per process", least=1, most=64
)
GATEWAY_TIMEOUT_S = env.read_int(
    "SLIPWAY_GATEWAY_TIMEOUT_S", 600, "Longest answer of a model", least=1
)
SPLIT_GATEWAY = env.read_bool("SLIPWAY_SPLIT_GATEWAY", False, "The gateway runs as its own process")
