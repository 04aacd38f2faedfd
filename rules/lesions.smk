rule identity:
    input:
        ancient(JOBS.waits_for("identity")),
    output:
        f"ledger/states/identity/{SUBJECT}.json",
    log:
        f"logs/identity/{SUBJECT}.log",
    benchmark:
        f"benchmarks/identity/{SUBJECT}.tsv"
    group:
        "subject_{subject}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("identity"),
    script:
        "../scripts/identity.py"


rule features:
    input:
        ancient(JOBS.waits_for("features")),
    output:
        f"ledger/states/features/{SESSION}.json",
    log:
        f"logs/features/{SESSION}.log",
    benchmark:
        f"benchmarks/features/{SESSION}.tsv"
    group:
        "subject_{subject}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("features"),
    script:
        "../scripts/features.py"
