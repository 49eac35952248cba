"""Workers answer no HTTP: an empty URL map keeps pages out of their memory."""

urlpatterns: list[object] = []
