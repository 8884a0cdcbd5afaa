#!/bin/bash
for i in 1 2 3 4 5 6 7 8 9 10; do
    if curl -fs http://127.0.0.1:8000/ | grep -q "version 0.9"; then
        echo "✅ Healthy"
        exit 0
    fi
    sleep 0.3
done
echo "❌ Status page does not answer"
exit 1
