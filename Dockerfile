FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /llcx

COPY pyproject.toml constraints.txt Makefile README.md LICENSE train.py ./
COPY conf conf
COPY llcx llcx
COPY tests tests

# The README's pip command for machines without a GPU; with one, leave out the index.
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt -e '.[dev]'

CMD ["python", "train.py"]
