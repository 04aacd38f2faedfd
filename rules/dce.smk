rule dce:
    input:
        ancient(JOBS.waits_for("dce")),
    output:
        f"ledger/states/dce/{SESSION}.json",
    log:
        f"logs/dce/{SESSION}.log",
    benchmark:
        f"benchmarks/dce/{SESSION}.tsv"
    group:
        "session_{subject}_{session}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("dce"),
    script:
        "../scripts/dce.py"
