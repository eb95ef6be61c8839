"""Training: data, backbone, the loop, evaluation, report and export to the artifact that `inference` serves."""
