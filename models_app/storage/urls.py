"""API addresses of the store and of uploads."""

from django.urls import path

from models_app.storage import api, upload_api

urlpatterns = [
    path("storage", api.StorageApi.as_view(), name="api_storage"),
    path("storage/files", api.FileListApi.as_view(), name="api_stored_file_list"),
    path("storage/files/<str:sha256>", api.FileDetailApi.as_view()),
    path("storage/holders", api.HolderListApi.as_view()),
    path("storage/runs", api.RunListApi.as_view(), name="api_store_run_list"),
    path("storage/runs/<int:pk>", api.RunDetailApi.as_view(), name="api_store_run_detail"),
    path("uploads", upload_api.UploadListApi.as_view(), name="api_upload_list"),
    path("uploads/<uuid:key>", upload_api.UploadDetailApi.as_view(), name="api_upload_detail"),
    path("uploads/<uuid:key>/finish", upload_api.UploadFinishApi.as_view()),
]
