rule stories:
    input:
        ancient(JOBS.waits_for("stories")),
    output:
        f"ledger/states/stories/{SUBJECT}.json",
    log:
        f"logs/stories/{SUBJECT}.log",
    benchmark:
        f"benchmarks/stories/{SUBJECT}.tsv"
    group:
        "subject_{subject}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        key=JOBS.key_of("stories"),
    script:
        "../scripts/stories.py"


rule report:
    input:
        ancient(JOBS.waits_for("report")),
    output:
        f"ledger/states/report/{SESSION}.json",
    log:
        f"logs/report/{SESSION}.log",
    benchmark:
        f"benchmarks/report/{SESSION}.tsv"
    group:
        "subject_{subject}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        key=JOBS.key_of("report"),
    script:
        "../scripts/report.py"


rule study_report:
    input:
        ancient(JOBS.waits_for("study_report")),
    output:
        "ledger/states/study_report/study.json",
    log:
        "logs/study_report/study.log",
    benchmark:
        "benchmarks/study_report/study.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("study_report"),
    script:
        "../scripts/study_report.py"
