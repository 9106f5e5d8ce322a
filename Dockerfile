FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /llcx

COPY pyproject.toml constraints.txt Makefile README.md LICENSE train.py ./
COPY conf conf
COPY llcx llcx
COPY tests tests

# The README's pip commands for a machine without a GPU; with one, leave out the first.
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
RUN pip install -c constraints.txt -e '.[dev]'

CMD ["python", "train.py"]
