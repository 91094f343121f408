#!/bin/bash
# Makes the files beside it anew: keys and certificates of kinds that are not accepted, and one of each that is. OpenSSL 3
# and ssh-keygen are enough. They are for tests and open nothing.
set -euo pipefail
cd "$(dirname "$0")"
DAYS=36500
key() { openssl genpkey -out "$@" 2>/dev/null; }

# What is accepted.
key good.key -algorithm EC -pkeyopt ec_paramgen_curve:P-256
openssl req -x509 -key good.key -out good.pem -days $DAYS -subj /CN=good \
    -addext subjectAltName=DNS:server.example -addext basicConstraints=critical,CA:FALSE
openssl ec -in good.key -out sec1.key 2>/dev/null
key rsa.key -algorithm RSA -pkeyopt rsa_keygen_bits:2048
openssl rsa -in rsa.key -traditional -out pkcs1.key 2>/dev/null
key ed25519.key -algorithm ED25519
key p384.key -algorithm EC -pkeyopt ec_paramgen_curve:P-384

# Keys that cannot be used.
openssl pkcs8 -topk8 -in good.key -passout pass:secret -out encrypted.key
openssl ec -in good.key -aes128 -passout pass:secret -out encrypted-old.key 2>/dev/null
key rsa1024.key -algorithm RSA -pkeyopt rsa_keygen_bits:1024
openssl rsa -in rsa1024.key -traditional -out rsa1024-pkcs1.key 2>/dev/null
key rsa-pss.key -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
key ed448.key -algorithm ED448
key x25519.key -algorithm X25519
key secp256k1.key -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
openssl ec -in secp256k1.key -out secp256k1-sec1.key 2>/dev/null
key p224.key -algorithm EC -pkeyopt ec_paramgen_curve:secp224r1
key brainpool.key -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1
key explicit.key -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit
openssl ec -in explicit.key -param_enc explicit -out explicit-sec1.key 2>/dev/null
key dsa-parameters.pem -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024
openssl genpkey -paramfile dsa-parameters.pem -out dsa.key 2>/dev/null
openssl pkey -in dsa.key -traditional -out dsa-old.key
openssl pkey -in good.key -pubout -out public.pem
openssl pkey -in good.key -outform DER -out key.der
openssl pkcs8 -topk8 -in good.key -passout pass:secret -outform DER -out encrypted.der
openssl pkcs12 -export -inkey good.key -in good.pem -passout pass:secret -out both.p12
rm -f openssh.key && ssh-keygen -q -t ed25519 -N '' -C '' -f openssh.key && rm openssh.key.pub
chmod 644 openssh.key

# Certificates that cannot be used.
openssl req -x509 -key explicit.key -out explicit.pem -days $DAYS -subj /CN=explicit \
    -addext subjectAltName=DNS:server.example -addext basicConstraints=critical,CA:FALSE
openssl ec -in explicit.key -param_enc named_curve 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -out explicit-named.key
openssl x509 -in good.pem -outform DER -out certificate.der
openssl x509 -in good.pem -trustout -addtrust serverAuth -out trusted.pem
openssl crl2pkcs7 -nocrl -certfile good.pem -out certificate.p7b
openssl req -new -key good.key -subj /CN=good -out request.pem
openssl req -new -key good.key -subj /CN=old -out old.csr
openssl x509 -req -in old.csr -signkey good.key -days $DAYS -out version1.pem 2>/dev/null
rm old.csr
