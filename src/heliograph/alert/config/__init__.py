"""What configuration and the API say of alerts, in Alertmanager's form: who is told what."""
