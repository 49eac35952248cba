"""API addresses of the audit log."""

from django.urls import path

from models_app.audit import api

urlpatterns = [path("audit", api.AuditEventListApi.as_view(), name="api_audit_list")]
