"""The API of models, versions, trainings and evaluations, one module a resource."""
