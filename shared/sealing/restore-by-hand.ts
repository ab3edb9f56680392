/**
 * What a receiver writes as RESTORE.txt into its data directory: how to restore without mastokeep. The same text as
 * docs/restore-by-hand.md; a test keeps them equal and runs the script in it.
 */
export const restoreByHandText = String.raw`# Restoring a sealed folder by hand

Everything here works without mastokeep and without its database: from the plain files on a receiver, with Python 3,
gpg, zstd and openssl. You need the private key whose public part the server was given (or the passphrase).
Mirror folders need none of this: their files lie readable in the folder's directory under current/ and versions/.

## What lies where

    <data>/<agent>/agent.pem                        public key of the agent (the Mastodon server)
    <data>/<agent>/agent-DEVICE-ID.pem              the same of a rebuilt server that goes on with its data
    <data>/<agent>/<folder>/versions/N-EPOCH.json   one version: which packs it needs, in clear
    <data>/<agent>/<folder>/versions/N-EPOCH.json.sig   its signature by the agent
    <data>/<agent>/<folder>/packs/SHA256.pgp        OpenPGP messages; each name is the SHA-256 of the file

To see when each version was made (UTC, by the server's clock), the newest last:

    cd <data>/<agent>/<folder>/versions
    grep -o '"createdAt":"[^"]*"' *.json | sort -t '"' -k 4

Where that clock may have been wrong, or the server in wrong hands: when this receiver got them, the newest last:

    ls -ltrc *.json

## Steps

1. Get the private key onto the machine where you restore (not onto the receiver, if you can help it):

       gpg --import private-key.asc

2. Copy the script below to a file restore.py. From this text, for example:

       sed -n '/^~~~python/,/^~~~$/p' RESTORE.txt | sed '1d;$d' > restore.py

3. Run it with the folder's directory, the version (its file name without .json) and a directory that does not exist:

       python3 restore.py <data>/<agent>/database 0000000042-0123456789abcdef /var/tmp/restored

   It prints the agent's device ID: compare it with your recovery sheet. It checks the signature, the version's name, the
   hash of every pack and of every restored file, and gives the directory its name only when all is right; otherwise nothing is left.
   Run as root, it restores owners too. If gpg should not ask, or the folder was sealed with a passphrase:

       GPG="gpg --pinentry-mode loopback --passphrase-file FILE" python3 restore.py ...

4. A database dump is an archive of pg_dump -Fc; take it back with:

       createdb -T template0 mastodon_production
       pg_restore --no-owner --jobs 4 --dbname mastodon_production /var/tmp/restored/FILE

   A long quiet phase near the end is normal: foreign keys are being checked.

## The script

~~~python
#!/usr/bin/env python3
import base64, collections, hashlib, json, os, re, shutil, subprocess, sys
folder, version, target = os.path.abspath(sys.argv[1]), sys.argv[2], os.fsencode(sys.argv[3].rstrip('/'))
gpg, work = os.environ.get('GPG', 'gpg').split(), target + b'.partial'
def check(good, problem): good or sys.exit(problem)
def run(*command, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE)
    check(done.returncode == 0, ' '.join(command[:2]) + ' failed')
    return done.stdout
def opened(name):
    with open(folder + '/packs/' + name + '.pgp', 'rb') as file: sealed = file.read()
    check(hashlib.sha256(sealed).hexdigest() == name, 'pack ' + name + ' is damaged')
    return run(*gpg, '--batch', '--quiet', '--decrypt', data=sealed)
def chunks(name): return run('zstd', '-d', '-q', '-c', data=opened(name))
def raw(entry, key): return entry[key].encode() if key in entry else base64.b64decode(entry[key + 'Base64'])
def restore():
    signed, keys = folder + '/versions/' + version + '.json', os.path.dirname(folder)
    with open(signed, 'rb') as file: record = json.load(file)
    pem = next(filter(os.path.isfile, [keys + '/agent-' + record['agent'] + '.pem']), keys + '/agent.pem')
    run('openssl', 'dgst', '-sha256', '-verify', pem, '-signature', signed + '.sig', signed)
    key = base64.b32encode(hashlib.sha256(run('openssl', 'pkey', '-pubin', '-in', pem, '-outform', 'der')).digest()).decode()
    check(key.rstrip('=') == re.sub('(.{13}).', r'\1', record['agent'].replace('-', '')), 'agent.pem is of another agent')
    check(record['folder'] == os.path.basename(folder), 'the version is of another folder')
    check('%010d-%s' % (record['number'], record['epoch']) == version, 'the version has the name of another one')
    print('version', record['number'], 'of', record['createdAt'], 'signed by agent', record['agent'])
    for name, size in record['packs']: check(os.path.isfile(folder + '/packs/' + name + '.pgp'), 'pack ' + name + ' is missing')
    root = json.loads(opened(record['root']))
    check(all(root[it] == record[it] for it in ('folder', 'epoch', 'number', 'createdAt')), 'the root message is of another version')
    manifest, pieces = root['manifest'], [b''] * len(root['manifest']['extents'])
    for index, data in enumerate(map(chunks, manifest['packs'])):
        for at, (pack, offset, length) in enumerate(manifest['extents']):
            if pack == index: pieces[at] = data[offset:offset + length]
    check(hashlib.sha256(b''.join(pieces)).hexdigest() == manifest['sha256'], 'the manifest is damaged')
    packs, entries, uses = [], [], collections.defaultdict(list)
    for line in map(json.loads, b''.join(pieces).split(b'\n')[1:-1]):
        if 'type' in line: entries.append(line)
        elif 'packs' in line: packs += line['packs']
        else: entries[-1]['extents'] += line['extents']
    os.mkdir(work, 0o700)
    for entry in entries:
        path, at, full = raw(entry, 'path'), 0, os.path.join(work, raw(entry, 'path'))
        check(not path.startswith(b'/') and b'..' not in path.split(b'/'), 'a path climbs')
        os.makedirs(full if entry['type'] == 'directory' else os.path.dirname(full), exist_ok=True)
        if entry['type'] == 'file': open(full, 'xb').close()
        for pack, offset, length in entry.get('extents', []): uses[packs[pack]].append((full, at, offset, length)); at += length
    for name, data in zip(uses, map(chunks, uses)):
        for full, at, offset, length in uses[name]:
            with open(full, 'r+b') as file: file.seek(at); file.write(data[offset:offset + length])
    for entry in sorted(entries, key=lambda it: (it['type'] == 'directory', it['type'] == 'symlink', -len(raw(it, 'path')))):
        full, kind, digest = os.path.join(work, raw(entry, 'path')), entry['type'], hashlib.sha256()
        if kind == 'file':
            with open(full, 'rb') as file: [digest.update(part) for part in iter(lambda: file.read(1 << 20), b'')]
            check(digest.hexdigest() == entry['sha256'], 'a restored file is damaged: ' + repr(full))
        if kind == 'symlink': os.symlink(raw(entry, 'target'), full)
        if os.geteuid() == 0: os.chown(full, entry['uid'], entry['gid'], follow_symlinks=False)
        if kind != 'symlink': os.chmod(full, entry['mode'])
        os.utime(full, ns=(int(entry['mtimeNs']),) * 2, follow_symlinks=False)
if os.path.lexists(target) or os.path.lexists(work): sys.exit('error: ' + sys.argv[3] + ' or .partial exists already')
try: restore(); os.rename(work, target); print('restored to', sys.argv[3])
except BaseException as problem: shutil.rmtree(work, ignore_errors=True); sys.exit('error: %s' % problem)
~~~

## One step at a time

The chunks of one pack, one after the other:

    gpg --decrypt packs/SHA256.pgp | zstd -d > chunks

What a version says of itself (where its manifest lies in which packs), from the root named in its .json:

    gpg --decrypt packs/ROOT.pgp

The signature of a version:

    openssl dgst -sha256 -verify ../agent.pem -signature versions/N-EPOCH.json.sig versions/N-EPOCH.json

The hashes of all packs (each line must show the same text twice):

    (cd packs && sha256sum *.pgp)
`;
