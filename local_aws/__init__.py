"""The stand-in cloud for one machine: moto as the control plane, and behind it data planes that really run."""
