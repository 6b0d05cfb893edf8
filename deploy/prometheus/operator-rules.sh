#!/bin/sh
# Prints the rules as a PrometheusRule, for the Prometheus Operator:
#   deploy/prometheus/operator-rules.sh | kubectl apply -n dejavu -f -
set -eu
cat <<'HEADER'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: dejavu
  labels:
    app.kubernetes.io/name: dejavu
spec:
HEADER
sed 's/^\(.\)/  \1/' "$(dirname "$0")/dejavu.rules.yml"
