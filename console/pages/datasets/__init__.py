"""Pages of datasets: list, new, upload, one dataset, one version in tabs."""

from django.urls import path

from console.pages.datasets import policies, preparing, quality, uploading, versions, views

ONE = "datasets/<str:team>/<str:name>/"
VERSION = f"{ONE}versions/<int:number>/"

urlpatterns = [
    path("datasets/", views.dataset_list, name="dataset_list"),
    path("datasets/new/", uploading.dataset_new, name="dataset_new"),
    path("data-policies/<str:team>/", policies.data_policy, name="data_policy"),
    path(ONE, views.dataset_detail, name="dataset_detail"),
    path(f"{ONE}edit/", views.dataset_edit, name="dataset_edit"),
    path(f"{ONE}upload/", uploading.dataset_upload, name="dataset_upload"),
    path(VERSION, versions.preview, name="dataset_version"),
    path(f"{VERSION}quality/", quality.report, name="dataset_version_quality"),
    path(f"{VERSION}check/", quality.check, name="dataset_version_check"),
    path(f"{VERSION}waiver/", quality.waiver, name="dataset_version_waiver"),
    path(f"{VERSION}prepare/", preparing.dataset_prepare_view, name="dataset_version_prepare"),
    path(f"{VERSION}statistics/", versions.statistics, name="dataset_version_statistics"),
    path(f"{VERSION}source/", versions.source, name="dataset_version_source"),
    path(f"{VERSION}used/", versions.used, name="dataset_version_used"),
    path(f"{VERSION}again/", versions.again, name="dataset_version_again"),
    path(
        f"{VERSION}documents/<slug:split>/<int:index>/", versions.document, name="dataset_document"
    ),
    path(
        f"{VERSION}documents/<slug:split>/<int:index>.txt",
        versions.document_file,
        name="dataset_document_file",
    ),
]
