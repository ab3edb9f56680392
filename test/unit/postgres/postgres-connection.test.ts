import { describe, expect, it } from 'vitest';
import {
  maskConnectionPassword,
  parsePostgresConnection,
} from '../../../agent/postgres/postgres-connection.ts';

const parse = parsePostgresConnection;

describe('a PostgreSQL connection string', () => {
  it.each([
    ['postgresql://m:s3cret@db/x', 'postgresql://m@db/x?password=***'],
    ['postgres:///m?password=s3cret&user=x', 'postgres:///m?user=x&password=***'],
    ["host=db password='s3cret' user=m", "host='db' user='m' password=***"],
    ['password=s3cret', 'password=***'],
  ])('is shown to people without its password: %s', (connection, shown) => {
    expect(maskConnectionPassword(connection)).toBe(shown);
    expect(parse(shown).password).toBe('***');
  });

  it.each([null, '', 'mastodon_production', 'postgresql://m@db/x', "host=db  user='m'"])(
    'is shown as it was written where it has none: %s',
    (connection) => {
      expect(maskConnectionPassword(connection)).toBe(connection);
    },
  );

  it('keeps everything but the password of a URI', () => {
    expect(parse('postgresql://mastodon:s%40cret@db:5432/mastodon_production?sslmode=require')).toEqual({
      text: 'postgresql://mastodon@db:5432/mastodon_production?sslmode=require',
      password: 's@cret',
    });
    expect(parse('postgres:///m?host=/run/postgresql&password=a%26b&user=x')).toEqual({
      text: 'postgres:///m?host=/run/postgresql&user=x',
      password: 'a&b',
    });
    expect(parse('postgresql://u:pw@%2Frun%2Fpg/m?password=later')).toEqual({
      text: 'postgresql://u@%2Frun%2Fpg/m',
      password: 'later',
    });
    expect(parse('postgresql://u@[::1]:5433,other:5432/m?passfile=/etc/p@ss')).toEqual({
      text: 'postgresql://u@[::1]:5433,other:5432/m?passfile=/etc/p@ss',
      password: null,
    });
  });

  it('keeps everything but the password of keyword=value pairs', () => {
    expect(parse("host=db password='a b\\'c\\\\' dbname = mastodon user=m")).toEqual({
      text: "host='db' dbname='mastodon' user='m'",
      password: "a b'c\\",
    });
    expect(parse('service=mastodon')).toEqual({ text: "service='mastodon'", password: null });
    expect(parse('password=only')).toEqual({ text: null, password: 'only' });
    // As libpq reads it: blanks after "=" are skipped.
    expect(parse('host= dbname')).toEqual({ text: "host='dbname'", password: null });
    expect(parse("host='' dbname=m")).toEqual({ text: "host='' dbname='m'", password: null });
  });

  it('may be a database name, or nothing', () => {
    expect(parse('mastodon_production')).toEqual({ text: 'mastodon_production', password: null });
    expect(parse(null)).toEqual({ text: null, password: null });
    expect(parse('')).toEqual({ text: null, password: null });
  });

  it('is refused without being shown, since it may hold a password', () => {
    for (const text of [
      'host=db password=hunter2 oops',
      "password='hunter2",
      'postgresql://u:hunter2%zz@h/d',
      'host=db sslpassword=hunter2',
      'postgresql://h/d?sslpassword=hunter2',
      "password='hunter2\nx'",
      'postgresql://u:a@hunter2@h/d',
      'postgresql://u:a/hunter2@h/d',
      'postgresql://u:a/b?hunter2@h/d',
      ' postgresql://u:hunter2@h/d',
      ' postgresql://u:hunter2@h/d?sslmode=require',
      'Postgres://u:hunter2@h/d',
      'postgres:/u:hunter2@h/d',
    ]) {
      let message = '';
      try {
        parse(text);
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/connection string cannot be used/);
      expect(message).not.toMatch(/hunter2/);
    }
  });
});
