"""How lists of the API are cut into pages: by a cursor, newest first."""

from rest_framework.pagination import CursorPagination


class Page(CursorPagination):
    """50 rows unless `page_size` asks for another number, at most 200."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
